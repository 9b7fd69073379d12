// Package divert puts chosen traffic of a network namespace into nfnetlink
// queues and takes it out again.
//
// It makes one nftables table of its own, inet garita, and touches nothing
// else. Every change is one transaction: either all of it happened or nothing
// did. It runs no program (nft, iptables) and needs none.
//
// # The order of things
//
// Bind the queues first, then [Install]; on the way out [Diversion.Stop], answer
// every packet that still waits, then [Diversion.Remove], then unbind. The kernel
// drops all waiting packets of all queues of the namespace whenever any base
// chain goes away (net/netfilter/core.c, nf_queue_nf_hook_drop), so Remove must
// come when nothing waits, and Stop exists because emptying a chain does not
// have that effect.
//
// # What happens when the process dies
//
// Open (the default): the table belongs to the netlink socket that made it (table
// flag owner, Linux 5.12) and vanishes with it, and every queue rule carries the
// bypass flag besides. Traffic flows as if there had never been a garita.
//
// Closed: the table outlives the process (flags owner and persist, Linux 6.9;
// before that a plain table) and its queue rules have no bypass flag: what would
// have been queued is dropped until a successor binds the queues and calls
// Install, which takes the table over, or until [Clean].
//
// # The table
//
//	table inet garita {
//	    map spread { type mark : verdict; elements = { 0 : goto q0, 1 : goto q1 } }
//	    chain q0 { queue flags bypass to 0 }
//	    chain q1 { queue flags bypass to 1 }
//	    chain queue { symhash mod 2 vmap @spread }
//	    chain ports { th sport …, th dport … goto queue }        only with Ports
//	    chain select { meta l4proto … goto ports }               only with Protocols or Ports
//	    chain out { oifname … goto select }                      only with In and Out
//	    chain forward {
//	        type filter hook forward priority -161; policy accept
//	        lifelines … accept
//	        ct mark & 0x1e000000 == 0x04000000 accept             only with SpareDecided
//	        iifname … goto out
//	    }
//	    chain forward-note {                                      only with SpareDecided
//	        type filter hook forward priority -160; policy accept
//	        meta mark & 0x1e000000 == 0x04000000 ct mark set … meta mark set …
//	    }
//	}
//
// With one queue the chain "queue" holds the queue rule itself. The rules in a
// base chain stand in the order: own traffic, loopback, lifelines, flows already
// decided, and then the selection. A decision is the mark of an accepted packet,
// which the chain behind the queue notes with the packet's connection.
//
// The queue rule is the native nftables expression where the kernel has it
// (CONFIG_NFT_QUEUE) and else the xtables target NFQUEUE through nft_compat.
//
// # Without nf_tables
//
// Where the kernel has no nf_tables, or with BackendLegacy, the same chains are
// made in the legacy tables, by package iptc: chains named garita-… in the table
// security (mangle at Prerouting and Postrouting), entered by a jump that is the
// first rule of the built-in chain. Everybody else's rules and counters stay as
// they are. It cannot do all that nftables can: the rules outlive the process in
// either mode (failing open they then only let traffic by), flows are spread over
// queues by address alone, and nobody is told of changes, so Watch looks once a
// second. [Diversion.Degraded] says what applies.
//
// All of it needs CAP_NET_ADMIN in the user namespace that owns the network
// namespace; reading the state ([List], [Diversion.Check]) needs the same, because the
// kernel asks for it on every nfnetlink request.
package divert
