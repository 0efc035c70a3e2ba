"""Rows and cells of tables, as blocks of tables and of data sets read them."""
