"""A tiny streaming Moonshine in its genuine files: five graphs in ONNX Runtime's format, the settings, the tokenizer.

What may live here: these graphs. The names and shapes of their inputs and outputs are those that moonshine-voice's library
asks for; what stands between them is made up. It says "go", "yes" or "no", and "now": "yes" where neighbouring samples are
alike (a low tone), "no" where they differ (a high one).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

DIM = 4
SPECIAL = (b"<unk>", b"<s>", b"</s>")
WORDS = ("▁go", "▁yes", "▁no", "▁now")
TOKENS = (*SPECIAL, *(bytes([byte]) for byte in range(256)), *(word.encode() for word in WORDS))
GO, YES, NO, NOW = range(len(TOKENS) - 4, len(TOKENS))
VOCABULARY = len(TOKENS)
Values = dict[str, tuple[int, list[Any]]]
"""Name -> element type and shape."""
_HOP = 320  # samples a frame, as the real ones have
_LOOKAHEAD = 4  # frames that the encoder holds back until the sound has ended
_STEEPNESS = 0.5  # of the mean squared difference of neighbours to the mean square: 0.006 at 200 Hz, 2.8 at 5 kHz


def write(folder: Path, *, split: bool = False) -> Path:
    """All files of the model. ``split``: the front end in two files as the models of August 2026 have it. The graph then
    takes its weights as inputs, and another graph, without inputs, gives them out under the same names."""
    import onnxruntime
    from onnx import TensorProto, checker, helper

    folder.mkdir(parents=True, exist_ok=True)
    real, whole = TensorProto.FLOAT, TensorProto.INT64

    def save(
        name: str, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], constants: dict[str, Any]
    ) -> None:
        def values(of: dict[str, Any]) -> list[Any]:
            return [helper.make_tensor_value_info(one, kind, shape) for one, (kind, shape) in of.items()]

        tensors = [
            helper.make_tensor(key, whole if value.dtype == np.int64 else real, value.shape, value.ravel().tolist())
            for key, value in constants.items()
        ]
        graph = helper.make_graph(nodes, name, values(inputs), values(outputs), tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        checker.check_model(model)
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.save_model_format", "ORT")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folder / f"{name}.ort")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    node = helper.make_node
    state = {
        "sample_buffer": (real, [1, 79]), "sample_len": (whole, [1]), "conv1_buffer": (real, [1, DIM, 4]),
        "conv2_buffer": (real, [1, DIM, 4]), "frame_count": (whole, [1]),
    }  # fmt: skip
    gain = {"frontend_gain": np.ones((1, 1, 1), np.float32)}
    weights = {"frontend_gain": (real, [1, 1, 1])} if split else {}
    if split:
        given = {"stored": gain["frontend_gain"]}
        save("frontend.weights", [node("Identity", ["stored"], ["frontend_gain"])], {}, weights, given)
    save(
        "frontend.model" if split else "frontend",
        [
            node("Reshape", ["audio_chunk", "frames_shape"], ["sound"]),
            node("Mul", ["sound", "frontend_gain"], ["frames"]),
            node("Mul", ["frames", "frames"], ["squares"]),
            node("ReduceMean", ["squares"], ["energy"], axes=[2], keepdims=1),
            node("Slice", ["frames", "one", "end", "axis"], ["later"]),
            node("Slice", ["frames", "zero", "last", "axis"], ["earlier"]),
            node("Sub", ["later", "earlier"], ["steps"]),
            node("Mul", ["steps", "steps"], ["steps2"]),
            node("ReduceMean", ["steps2"], ["change"], axes=[2], keepdims=1),
            node("Sub", ["energy", "energy"], ["none"]),
            node("Concat", ["energy", "change", "none", "none"], ["features"], axis=2),
            *(node("Identity", [name], [f"{name}_out"]) for name in state),
        ],
        {"audio_chunk": (real, [1, "samples"]), **state, **weights},
        {"features": (real, [1, "frames", DIM]), **{f"{name}_out": of for name, of in state.items()}},
        {
            "frames_shape": np.array([1, -1, _HOP]), "zero": np.array([0]), "one": np.array([1]), "axis": np.array([2]),
            "end": np.array([_HOP]), "last": np.array([_HOP - 1]), **({} if split else gain),
        },
    )  # fmt: skip
    frames = (real, [1, "n", DIM])
    save("encoder", [node("Identity", ["features"], ["encoded"])], {"features": frames}, {"encoded": frames}, {})
    save(
        "adapter",
        [
            node("Cast", ["pos_offset"], ["offset"], to=real),
            node("Mul", ["offset", "nothing"], ["without"]),
            node("Add", ["encoded", "without"], ["memory"]),
        ],
        {"encoded": frames, "pos_offset": (whole, [1])},
        {"memory": frames},
        {"nothing": np.zeros(1, np.float32)},
    )
    cross = (real, [1, 1, 1, "m", DIM])
    save(
        "cross_kv",
        [
            node("Unsqueeze", ["memory", "axes"], ["k_cross"]),
            node("Identity", ["k_cross"], ["v_cross"]),
        ],
        {"memory": (real, [1, "m", DIM])},
        {"k_cross": cross, "v_cross": cross},
        {"axes": np.array([0, 1])},
    )
    said = np.zeros((512, VOCABULARY), np.float32)
    said[0, GO] = said[1, YES] = said[1, NO] = said[2, NOW] = 10.0
    said[3:, 2] = 10.0
    choice = np.zeros((1, VOCABULARY), np.float32)
    choice[0, YES], choice[0, NO] = -1.0, 1.0
    past, new = (real, [1, 1, 1, "c", DIM]), (real, [1, 1, 1, "d", DIM])
    save(
        "decoder_kv",
        [
            node("Shape", ["k_self"], ["past_shape"]),
            node("Gather", ["past_shape", "three"], ["position"], axis=0),
            node("Shape", ["token"], ["token_shape"]),
            node("Gather", ["token_shape", "one"], ["count"], axis=0),
            node("Range", ["zero", "count", "one"], ["steps"]),
            node("Add", ["steps", "position"], ["places"]),
            node("Gather", ["said", "places"], ["rows"], axis=0),
            node("ReduceSum", ["out_k_cross", "over"], ["sums"], keepdims=0),
            node("Gather", ["sums", "zero"], ["energy"], axis=0),
            node("Gather", ["sums", "one"], ["change"], axis=0),
            node("Mul", ["energy", "steepness"], ["usual"]),
            node("Sub", ["change", "usual"], ["harsh"]),
            node("Sign", ["harsh"], ["which"]),
            node("Mul", ["which", "choice"], ["more"]),
            node("Add", ["rows", "more"], ["flat"]),
            node("Unsqueeze", ["flat", "front"], ["logits"]),
            node("Unsqueeze", ["count", "front"], ["counts"]),
            node("Concat", ["ones", "counts", "width"], ["grown"], axis=0),
            node("Expand", ["blank", "grown"], ["fresh"]),
            node("Concat", ["k_self", "fresh"], ["out_k_self"], axis=3),
            node("Concat", ["v_self", "fresh"], ["out_v_self"], axis=3),
        ],
        {"token": (whole, [1, "t"]), "k_self": past, "v_self": past, "out_k_cross": cross, "out_v_cross": cross},
        {"logits": (real, [1, "t", VOCABULARY]), "out_k_self": new, "out_v_self": new},
        {
            "three": np.array(3), "zero": np.array(0), "one": np.array(1), "said": said, "choice": choice,
            "over": np.array([0, 1, 2, 3]), "steepness": np.array(_STEEPNESS, np.float32), "front": np.array([0]),
            "ones": np.array([1, 1, 1]), "width": np.array([DIM]), "blank": np.zeros((1, 1, 1, 1, DIM), np.float32),
        },
    )  # fmt: skip
    settings = {
        "encoder_dim": DIM, "decoder_dim": DIM, "depth": 1, "nheads": 1, "head_dim": DIM, "vocab_size": VOCABULARY,
        "bos_id": 1, "eos_id": 2, "frame_len": 80, "total_lookahead": _LOOKAHEAD, "d_model_frontend": DIM, "c1": DIM,
        "c2": DIM, "max_seq_len": 448,
    }  # fmt: skip
    (folder / "streaming_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.bin").write_bytes(b"".join(bytes([len(token)]) + token for token in TOKENS))
    return folder
