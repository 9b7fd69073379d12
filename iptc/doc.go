// Package iptc is libiptc in pure Go: it reads, edits and atomically replaces
// the legacy tables (filter, nat, mangle, raw, security; IPv4 and IPv6) that
// iptables-legacy works on, without running a program.
//
// [Open] takes a snapshot, the methods of [Table] edit it in memory, and
// [Table.Commit] swaps the result in: all of it or nothing, under the xtables
// lock, with counters kept. A table that somebody else changed meanwhile is read
// again and the same edits are applied to it; nobody's rules are overwritten.
// Matches and targets that this package does not know are carried through byte
// for byte. [Table.Save] prints as iptables-legacy-save does, [Restore] applies
// what it printed, and [ParseSpec] and [Table.Command] take what one types behind
// "iptables". Each extension is one entry of one table (the files ext_*.go) with
// its layout and how it is printed and parsed; what is printed of an unknown one
// ("-m NAME --hex REVISION:BYTES") is read again too.
//
// Everything needs CAP_NET_ADMIN in the user namespace that owns the network
// namespace, and a 64-bit kernel and process. The layouts are those of
// include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h and
// netfilter/x_tables.h; the kernel's side is net/ipv4/netfilter/ip_tables.c.
//
// # libiptc's functions
//
// Rules are counted from 0 throughout; libiptc counts from 0 in insert, replace
// and delete, and from 1 in the counter functions. ip6tc_ functions are the same
// with [IPv6].
//
//	iptc_init                        Open
//	iptc_free                        Table.Close
//	iptc_commit                      Table.Commit
//	iptc_is_chain                    Table.Chain(name) != nil
//	iptc_first_chain, next_chain     Table.Chains
//	iptc_builtin                     Chain.Builtin, Chain.Hook
//	iptc_first_rule, next_rule       Chain.Rules, Chain.Rule, Chain.Len
//	iptc_get_target                  Rule.Target().Name()
//	iptc_get_policy                  Chain.Policy, Chain.Counters
//	iptc_set_policy                  Table.SetPolicy
//	iptc_insert_entry                Table.Insert
//	iptc_append_entry                Table.Append
//	iptc_replace_entry               Table.Replace
//	iptc_check_entry                 Table.Check
//	iptc_delete_entry                Table.Delete
//	iptc_delete_num_entry            Table.DeleteNum
//	iptc_flush_entries               Table.Flush
//	iptc_zero_entries                Table.Zero
//	iptc_read_counter                Chain.Rule(i).Counters()
//	iptc_zero_counter                Table.ZeroCounter
//	iptc_set_counter                 Table.SetCounter
//	iptc_create_chain                Table.CreateChain
//	iptc_delete_chain                Table.DeleteChain
//	iptc_rename_chain                Table.RenameChain
//	iptc_get_references              Table.References
//	iptc_get_raw_socket              Table.RawSocket
//	iptc_strerror                    Error.Strerror
//	dump_entries                     Table.Save, Rule.Spec, Rule.Bytes
//	iptc_check_packet                none: the kernel never had it (ENOSYS)
//	struct ipt_entry                 NewRule, Rule.Header, Rule.Matches, Rule.Target
//	xtables_compatible_revision      Revision
//	xtables_lock                     Lock.Take
package iptc
