"""Work on a Ray cluster: actors hold a base each, and the command's process hands them units.

- :mod:`~runners.cluster.choice` reads ``--executor ray://HOST:PORT?workers=8&gpus=1``;
- :mod:`~runners.cluster.placement` says what a worker takes of a node, and where it fits;
- :mod:`~runners.cluster.units` cuts a stage into units, so that shared beginnings stay together;
- :mod:`~runners.cluster.schedule` says who does which unit, and what becomes of lost ones;
- :mod:`~runners.cluster.worker` is what runs on a node;
- :mod:`~runners.cluster.connection` and :mod:`~runners.cluster.pool` talk to Ray;
- :mod:`~runners.cluster.executor` puts it all behind :class:`evalcore.executors.Executor`.
"""
