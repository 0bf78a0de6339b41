"""Data sets of detection: images, labels in YOLO or COCO form, and COCO's evaluation against them.

The only readers and the only evaluation of the project; the gate and the tools share them.
"""
