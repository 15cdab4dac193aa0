#!/bin/sh
# Makes src/locara/cli/question.wav: two spoken questions that the embedded default understands and can answer, for a
# first conversation on a machine without a microphone, for `locara doctor` and for tests.
#
# The file is synthetic speech: flite (BSD-style licence, Carnegie Mellon University), voice kal16. 16 kHz, mono, 16 bit.
#   0.6 s lead | "What time is it?" | 3.5 s for the reply | "What is twelve times seven?" | 0.8 s tail
# A noise floor of -65 dBFS lies under all of it: digital zeros would be taken for a dead microphone.
# No timing of the speech itself is written here: who wants to know where it is finds it by level.
#
# Needs flite and sox. Run it from anywhere: scripts/make_question.sh [OUTPUT.wav]
# The same flite and sox make the same bytes (sox -R: noise from a fixed seed).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-"$here/../src/locara/cli/question.wav"}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT HUP INT TERM

for tool in flite sox; do
    command -v "$tool" >/dev/null || { echo "make_question: $tool is missing; install it, e.g. apt-get install $tool" >&2; exit 1; }
done

say() { # say NAME SENTENCE: a peak of -6 dBFS, like somebody near a laptop
    flite -voice kal16 --setf duration_stretch=1.1 -t "$2" -o "$work/$1.raw.wav"
    sox -R "$work/$1.raw.wav" -r 16000 -c 1 -b 16 "$work/$1.wav" gain -n -6
}
say first "What time is it?"
say second "What is twelve times seven?"

sox -R -D "$work/first.wav" "$work/first-padded.wav" pad 0.6 3.5
sox -R -D "$work/second.wav" "$work/second-padded.wav" pad 0 0.8
sox -R -D "$work/first-padded.wav" "$work/second-padded.wav" "$work/speech.wav"
length=$(soxi -D "$work/speech.wav")

# The noise that sox makes has -9.75 dBFS; 55.25 dB less makes -65.
sox -R -D -n -r 16000 -c 1 -b 16 "$work/floor.wav" synth "$length" whitenoise gain -55.25
sox -R -D -m -v 1 "$work/speech.wav" -v 1 "$work/floor.wav" -b 16 "$out"
soxi "$out"
