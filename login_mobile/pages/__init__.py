"""The pages under /login/. They call ``login_mobile.api``, as pages of your own would."""
