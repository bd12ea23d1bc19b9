"""One module for each library of frames, all behind the protocol of `frames`."""
