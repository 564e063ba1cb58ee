# Turns the plain comments of the public headers into what Doxygen reads: of the file, above a
# declaration, behind one.
s|^struct \(smf_[a-z_]*\); */\* |/** @struct \1\
 * |
1s|^/\* |/** @file\
 * |
s|^\( *\)/\* |\1/** |
s|^\( *[^ /].*\)/\* |\1/**< |
s/\(Threads\|Ownership\|Errors\|Cost\): /**\1:** /g
