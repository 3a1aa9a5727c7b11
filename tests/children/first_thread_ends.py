"""End the first thread and live on in another one."""

import ctypes
import signal
import threading

threading.Thread(target=signal.pause).start()
ctypes.PyDLL(None).pthread_exit(None)
