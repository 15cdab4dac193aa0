"""Things with weights. See `contracts` for what each kind must offer, `registry` for how they are found."""
