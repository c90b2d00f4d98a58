"""Steps that follow an answer: checkpointing and anchoring, each killable at any instruction and run again."""
