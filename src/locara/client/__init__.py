"""A client of the runtime server: the same session, spoken with over a WebSocket."""
