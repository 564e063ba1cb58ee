# Pages link to each other on the project's site; in the reference the words are enough.
s/\[\([^]]*\)\]([^)]*)/\1/g
