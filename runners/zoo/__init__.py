"""The tiny family: small models that are made by code and ship with the package.

``python -m runners.zoo.train --out DIR`` makes the models, ``python -m runners.zoo.tasks --out
DIR`` the tasks that go with them, and ``python -m runners.zoo.evaluate`` measures what the models
show. The model card is docs/tiny-family.md.
"""
