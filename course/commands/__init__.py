"""The commands: one module for each, with main(argv) -> exit code, imported only when it is called."""
