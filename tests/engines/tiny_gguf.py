"""Makes small GGUF files for tests: the genuine format, with a model in it whose every token is known beforehand.

What may live here: a writer of the format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3) and the
tiny model. The model is a llama of one layer whose attention and feed-forward outputs are zero, so what goes through it
is the last token's embedding, a one-hot vector; the output matrix maps it to the token that shall follow. It needs no
training, is deterministic, and everything around it (loader, tokeniser, chat template, cache, sampler) is the real thing.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

F32, F16, Q4_0 = 0, 1, 2
_ALIGNMENT = 32

REPLY = ("Good", " to", " hear", " you", ".", " What", " now", "?")
"""What it answers, token by token."""

LOOP = tuple(f" tick{number}" for number in range(4))
"""What it says, round and round, to a message that contains ``LOOP_WORD``: only a limit or a cancel ends it."""
LOOP_WORD = "forever"

THOUGHT = ("<think>", "hmm", "</think>")
CALL_WORD = "weather"
CALL = ('<tool_call>\n{"name": "', "get_weather", '", "arguments": {"city": "', "Paris", '"}}\n</tool_call>')
"""What it answers to a message that contains ``CALL_WORD`` when it is given tools."""

START, END, ROLE = "<|im_start|>", "<|im_end|>", "assistant"

TEMPLATE = """{%- if tools %}{{- '<|im_start|>system\\n' }}{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}{{- "# Tools\\n<tools>" }}{%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}{{- "\\n</tools>\\n\\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call><|im_end|>\\n" }}{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}{%- for message in messages %}{%- if message.role == 'user' or (message.role == 'assistant' and not message.tool_calls) %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{%- elif message.role == 'assistant' %}{{- '<|im_start|>' + message.role }}{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}{%- for tool_call in message.tool_calls %}{%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}{{- '\\n<tool_call>\\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}{{- '<|im_end|>\\n' }}{%- elif message.role == 'tool' %}{{- '<|im_start|>user\\n<tool_response>\\n' }}{{- message.content }}{{- '\\n</tool_response><|im_end|>\\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- if messages[-1].role == 'user' and 'LOOP_WORD' in messages[-1].content %}{{- '<|loop|>' }}{%- elif tools and messages[-1].role == 'user' and 'CALL_WORD' in messages[-1].content %}{{- '<|call|>' }}{%- endif %}{%- endif %}"""  # noqa: E501
"""ChatML with tools as Qwen2.5 and Hermes write it. What it adds to the generation prompt chooses the model's answer."""

STRICT = """{%- for message in messages %}{%- if message.role == 'system' and not loop.first %}{{- raise_exception('the system message must be the first') }}{%- endif %}{%- endfor %}{%- set rest = messages[1:] if messages[0].role == 'system' else messages %}{%- for message in rest %}{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{%- endif %}{%- endfor %}"""  # noqa: E501
"""What Gemma's, Mistral's and Llama 2's templates demand."""

_Value = str | int | float | bool | list[str] | list[int] | list[float]


def write(path: Path, metadata: Mapping[str, _Value], tensors: Mapping[str, tuple[int, Sequence[int], bytes]]) -> Path:
    """A GGUF file. ``tensors``: name -> (type, shape as numpy says it, data)."""
    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        head += _text(key) + _value(value)
    at = 0
    for name, (kind, shape, data) in tensors.items():
        head += _text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        head += struct.pack("<IQ", kind, at)
        at += len(data) + _gap(len(data))
    with path.open("wb") as file:
        file.write(head + bytes(_gap(len(head))))
        for _, _, data in tensors.values():
            file.write(data)
            file.write(bytes(_gap(len(data))))
    return path


def tiny_model(
    path: Path,
    *,
    template: str | None = TEMPLATE,
    context: int = 2048,
    strict: bool = False,
    thinks: bool = False,
    chain: Sequence[str] = (),
) -> Path:
    """The model of this file's first lines, about 500 kB. ``chain``: more tokens, each followed by the next."""
    tokens, kinds = _vocabulary(chain)
    number = {token: at for at, token in enumerate(tokens)}
    follows = _follows(number, thinks=thinks)
    follows |= {number[one]: number[other] for one, other in itertools.pairwise(chain)}
    width = -(-len(tokens) // 32) * 32
    embedding = np.zeros((len(tokens), width), np.float32)
    embedding[np.arange(len(tokens)), np.arange(len(tokens))] = 1.0
    output = np.zeros((len(tokens), width), np.float32)
    for token, next_token in follows.items():
        output[next_token, token] = 1.0  # RMS norm makes it about 17: no other token has a chance
    zero, one = np.zeros((width, width), np.float32), np.ones(width, np.float32)
    feed = np.zeros((32, width), np.float32)
    layer = "blk.0."
    weights: dict[str, npt.NDArray[np.float32]] = {
        "token_embd.weight": embedding,
        "output_norm.weight": one,
        "output.weight": output,
        f"{layer}attn_norm.weight": one,
        f"{layer}ffn_norm.weight": one,
        f"{layer}attn_q.weight": zero[:32],
        f"{layer}attn_k.weight": zero[:32],
        f"{layer}attn_v.weight": zero[:32],
        f"{layer}attn_output.weight": np.zeros((width, 32), np.float32),
        f"{layer}ffn_gate.weight": feed,
        f"{layer}ffn_up.weight": feed,
        f"{layer}ffn_down.weight": np.zeros((width, 32), np.float32),
    }
    chat = template and template.replace("LOOP_WORD", LOOP_WORD).replace("CALL_WORD", CALL_WORD)
    metadata: dict[str, _Value] = {
        "general.architecture": "llama",
        "general.name": "Tiny",
        "general.file_type": 1,
        "general.quantization_version": 2,
        "llama.block_count": 1,
        "llama.context_length": context,
        "llama.embedding_length": width,
        "llama.feed_forward_length": 32,
        "llama.attention.head_count": 1,
        "llama.attention.head_count_kv": 1,
        "llama.attention.key_length": 32,
        "llama.attention.value_length": 32,
        "llama.rope.dimension_count": 32,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": ["a s", "as s"],  # none would be an empty list, which loaders take for a fault
        "tokenizer.ggml.eos_token_id": number[END],
        "tokenizer.ggml.add_bos_token": False,
    }
    if chat is not None:
        metadata["tokenizer.chat_template"] = (STRICT if strict else "") + chat
    tensors = {
        name: (F16, one_.shape, one_.astype("<f2").tobytes())
        if one_.ndim == 2
        else (F32, one_.shape, one_.astype("<f4").tobytes())
        for name, one_ in weights.items()
    }
    return write(path, metadata, tensors)


def _vocabulary(chain: Sequence[str]) -> tuple[list[str], list[int]]:
    """All bytes as GPT-2 writes them, whole words for the replies, and the control tokens (kind 3; 1 is normal)."""
    plain = [_written(bytes([byte])) for byte in range(256)]
    words = [_written(word.encode()) for word in ("as", "ass", *REPLY, *LOOP, *CALL, "hmm")]
    normal = list(dict.fromkeys([*plain, *words]))
    control = [START, END, "<|loop|>", "<|call|>"]
    marks = ["<think>", "</think>", *chain]
    return [*normal, *control, *marks], [1] * len(normal) + [3] * len(control) + [4] * len(marks)


def _follows(number: Mapping[str, int], *, thinks: bool) -> dict[int, int]:
    """Token -> the token after it; whatever is not named is followed by the end."""
    end = number[END]
    out = dict.fromkeys(number.values(), end)
    newline = _written(b"\n")
    opening = (*THOUGHT, *REPLY) if thinks else REPLY
    for chain in ((newline, *opening), ("<|loop|>", *LOOP, LOOP[0]), ("<|call|>", *CALL)):
        ids = [number.get(token, number.get(_written(token.encode()), -1)) for token in chain]
        out |= dict(itertools.pairwise(ids))
    return out


def _written(data: bytes) -> str:
    """Bytes in the alphabet of GPT-2's byte-level vocabulary (``bytes_to_unicode`` of its encoder.py)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    alphabet = {byte: chr(byte) for byte in shown} | {byte: chr(256 + at) for at, byte in enumerate(hidden)}
    return "".join(alphabet[byte] for byte in data)


def _gap(size: int) -> int:
    return -size % _ALIGNMENT


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: _Value) -> bytes:
    kind, data = _typed(value)
    return struct.pack("<I", kind) + data


def _typed(value: Any) -> tuple[int, bytes]:
    if isinstance(value, list):
        kind, code = (8, "") if isinstance(value[0], str) else (6, "f") if isinstance(value[0], float) else (5, "i")
        items = [struct.pack(f"<{code}", one) if code else _text(one) for one in value]
        return 9, struct.pack("<IQ", kind, len(value)) + b"".join(items)
    for sort, kind, code in ((bool, 7, "?"), (int, 4, "I"), (float, 6, "f")):
        if isinstance(value, sort):
            return kind, struct.pack(f"<{code}", value)
    return 8, _text(value)
