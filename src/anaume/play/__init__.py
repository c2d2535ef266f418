"""The web page of `anaume play`: a module for each tab, and `page` and `server`, which show them on 127.0.0.1."""
