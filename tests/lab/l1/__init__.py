# SPDX-License-Identifier: Apache-2.0
"""The lab's inner half: the agent that runs cases inside L1, and the library cases are written with."""
