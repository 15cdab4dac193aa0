"""Starts Kyutai's own server, ``python -m moshi.server``, on the CPU: run in an environment that has ``moshi``.

    python tests/engines/models/stock_moshi_server.py --device cpu --host 127.0.0.1 --port N --static none ...

Its warm-up waits for CUDA whatever it runs on; that one call is taken away where there is no CUDA, and nothing else.
"""

from __future__ import annotations

import runpy

import torch

if __name__ == "__main__":
    if not torch.cuda.is_available():
        torch.cuda.synchronize = lambda device=None: None
    runpy.run_module("moshi.server", run_name="__main__", alter_sys=True)
