"""The control socket: herd's S-expressions and Varlink."""
