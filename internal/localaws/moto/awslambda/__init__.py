"""Lambda: what moto lacks or does differently. (`lambda` is a Python keyword, so the folder has the same name as moto's.)"""
