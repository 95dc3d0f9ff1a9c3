"""Lambda: what moto lacks or does differently. (`lambda` is a word of Python's own, so the folder is named as moto's is.)"""
