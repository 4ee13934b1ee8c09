"""Scores over HTTP: `serve` of the command.

`waiting` batches what waits in one thread, `uploads` takes pictures of bytes that anybody may have sent, `answers`
says what was found, `counting` counts for Prometheus, and `app` puts them together with FastAPI.
"""
