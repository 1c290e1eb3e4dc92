# SPDX-License-Identifier: Apache-2.0
"""The cases: each a function marked @case, in a module of the subject it belongs to."""
