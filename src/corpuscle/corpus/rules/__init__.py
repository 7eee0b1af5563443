"""What must hold of a corpus on disk, idea by idea; `corpuscle.corpus.check` asks them all."""
