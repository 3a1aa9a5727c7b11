"""binfmt_misc: the kernel's table of programs that run foreign programs, and what virtsupd enters in it."""
