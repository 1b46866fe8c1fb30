"""Commands' ways through the rooms. With `cli` the only part that may import every room.

study   plan and data in, rows and a report out: hands `train`'s task to `search`
single  one detector trained and scored
place   machine and versions, as results name them
"""
