"""Things with wires: sound cards, files, pushed audio. Opened only by the gate."""
