"""What text names: models, the weights to load into them, functions of the user's own, ``source.json``.

The command line and recipes are made of such text. Nothing here imports torch before it is used, so that ``--help``
is quick; import from the files of this room.
"""
