"""Where images come from: files of folders and stores, members of archives, rows of tables.

`source` opens any of them; what it lists is the table `files`, by which it is read again.
"""
