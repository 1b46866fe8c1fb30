"""Commands' ways through the rooms. With `cli` the only part that may import every room.

study   plan and data in, rows and a report out: hands `train`'s task to `search`
full    after a search: its best trained by a recipe of their own, its winners scored and exported
single  one detector trained and scored
model   a trained detector opened from its file, and scored
pictures, export, anchors   what else is done with one
place   machine and versions, as results name them
"""
