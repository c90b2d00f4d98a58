"""Tables, the database and the sequencer: what is durable, and nothing of HTTP."""
