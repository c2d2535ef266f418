"""`anaume reproduce`: the paper in miniature, from text to a page with its tables, figures and findings beside ours."""
