"""What pipecat's own analyzer answers: run by ``benchmarks/smart_turn.py`` in an environment that has pipecat-ai.

    python benchmarks/peers/smart_turn_reference.py QUESTIONS.npz MODEL.onnx

QUESTIONS.npz holds float32 arrays at 16 kHz. Prints one line of JSON.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np


def main() -> None:
    """Answers every question, one after the other."""
    from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3

    analyzer = LocalSmartTurnAnalyzerV3(smart_turn_model_path=sys.argv[2])
    analyzer.set_sample_rate(16_000)
    probabilities, seconds = [], []
    with np.load(sys.argv[1]) as asked:
        for name in asked.files:
            sound = asked[name]
            began = time.perf_counter()
            probabilities.append(float(analyzer._predict_endpoint(sound)["probability"]))
            seconds.append(time.perf_counter() - began)
    peer = f"pipecat-ai {version('pipecat-ai')}, onnxruntime {version('onnxruntime')}"
    print(json.dumps({"peer": peer, "probabilities": probabilities, "seconds": seconds}))


if __name__ == "__main__":
    main()
