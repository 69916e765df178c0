"""A page that follows studies while they run, served on this machine alone; figures of notebooks.

`watch` reads what `status` and `analyse` read and writes nothing, `plots` and `rings` make figures,
`server` answers a browser, `notebook` has the same figures as objects.
"""
