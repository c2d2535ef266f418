"""`anaume bench`: this machine, anaume beside the loop that a user of Hugging Face's libraries would write."""
