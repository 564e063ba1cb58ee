// Package conformance holds servers and clients of both languages against one table: every pair of them, at
// both levels of the wire format, over the kernel's sockets and, in C, over the simulated network. The tables
// are schema/conformance/rows.txt, raw.txt (servers that are sent bytes) and peers.txt (clients that are); their heads say how they are read. Servers and clients are
// processes, and a client says in one line what it saw, in the words of the table.
package conformance
