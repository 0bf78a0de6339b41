"""What both ends of the wire compute, and the contract between them.

``tridet-build`` copies this folder whole beside each server step, as ``tridet_processing``: so the
client and the server run the same files. They import each other relatively, and otherwise only
NumPy, OpenCV and Pillow.
"""
