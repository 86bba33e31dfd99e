#!/usr/bin/env python3
"""Packs a mask of promptseg into a message of this package."""

from mask_listener.msg import NamedMask
from promptseg_msgs.msg import ObjectMask

print(NamedMask(name="cup", mask=ObjectMask(object_id=7)).mask.object_id)
