"""Reading a user's input within bounds: JSON, its types, quotes of values in messages. Imports no other room."""
