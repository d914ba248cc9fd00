"""`ray start` with every port on loopback: `python start_node.py start ...`.

Ray takes the address of the network card even where it is told 127.0.0.1, and listens on all of them. With
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 it stays on loopback, but allows one node only; here both are wanted.
"""

from __future__ import annotations

import sys

from ray._private import ray_constants, services
from ray.scripts.scripts import main

services.get_node_ip_address = lambda address=None: "127.0.0.1"
ray_constants.ENABLE_RAY_CLUSTER = True
sys.exit(main())
