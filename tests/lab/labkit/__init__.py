# SPDX-License-Identifier: Apache-2.0
"""The lab's outer half: everything that runs on the machine whose user typed `make lab` (L0)."""
