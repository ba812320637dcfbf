"""What is measured: a function for each suite, which takes a stand and returns its figures."""
