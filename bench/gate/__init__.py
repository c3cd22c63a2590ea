"""A gate against slow changes that does not depend on the speed of the machine.

The cost of a request through the application is divided by the cost of a fixed piece of Python, measured in
the same process and in turn with it. The quotients that were measured once are in ``bounds.json``.
"""
