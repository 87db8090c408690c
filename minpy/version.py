"""The version, and the schema number of rewritten code (raise it when the rewriter emits other text)."""

VERSION = "1.0.0.dev0"
REWRITE_SCHEMA = 15
