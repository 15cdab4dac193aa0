"""Where the spans of `tracing` go: by the variables that OpenTelemetry's own programs read.

What may live here: choosing an exporter. Without one that was asked for, nothing is collected and nothing is sent.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from locara.errors import ConfigError

VARIABLE = "OTEL_TRACES_EXPORTER"
"""``otlp`` (to ``OTEL_EXPORTER_OTLP_ENDPOINT``), ``console`` (lines on standard error), or nothing."""

_OTLP = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


@contextlib.contextmanager
def exporting(environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Spans are exported inside, and the last ones on leaving. Raises ``ConfigError`` where what was asked for is not
    installed."""
    made = provider(environment)
    if made is None:
        yield
        return
    importlib.import_module("opentelemetry.trace").set_tracer_provider(made)
    try:
        yield
    finally:
        made.shutdown()


def provider(environment: Mapping[str, str] = os.environ) -> Any:
    """The tracer provider that was asked for, or None. Raises ``ConfigError``."""
    wanted = environment.get(VARIABLE, "").strip().lower()
    if wanted in ("", "none"):
        return None
    if wanted not in ("otlp", "console"):
        raise ConfigError(f"{VARIABLE}={wanted} is not known", hint="otlp, console or none")
    try:
        sdk: Any = importlib.import_module("opentelemetry.sdk.trace")
        export: Any = importlib.import_module("opentelemetry.sdk.trace.export")
        resources: Any = importlib.import_module("opentelemetry.sdk.resources")
    except ImportError as error:
        raise ConfigError(f"{VARIABLE}={wanted} needs OpenTelemetry", hint='pip install "locara[otel]"') from error
    exporter: Any
    if wanted == "console":
        exporter = export.ConsoleSpanExporter(out=sys.stderr)
    else:
        try:
            exporter = importlib.import_module(_OTLP).OTLPSpanExporter()
        except ImportError as error:
            hint = "pip install opentelemetry-exporter-otlp-proto-http"
            raise ConfigError(f"{VARIABLE}=otlp needs OpenTelemetry's exporter", hint=hint) from error
    made = sdk.TracerProvider(resource=resources.Resource.create({"service.name": "locara"}))
    made.add_span_processor(export.BatchSpanProcessor(exporter))
    return made
