"""The credence command: one module a command or a family of them, each imported when its command runs."""
