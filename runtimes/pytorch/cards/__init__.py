"""One scene over several GPUs of one host: `--device cuda:0+1`.

A session of this kind computes nothing itself. It starts one process a card, which loads the same artifact, joins the
others through torch.distributed and answers what the session asks; views and outputs pass through memory that all of them
see. To a bench worker or a Python program that loads it, it is a session like any other.
"""
