"""What happens between the public functions and the rows. Private: use ``login_mobile.api``."""
