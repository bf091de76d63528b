/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Load balancing of each packet at the client's veth pair, as Cilium does it where sockets are not translated. On its
 * way from the pod a packet to a service is rewritten to go to one of its backends; on the way back the backend's
 * address is replaced by the service's. Which backend a connection has stands in a table of its own, so that the
 * node's connection tracking never sees the service's address.
 *
 * Fragments, ICMP and all that is neither TCP nor UDP passes untouched.
 */
#include "services.h"

#include <stddef.h>

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>

/* TCX_NEXT: the next program, or the kernel, takes the packet; Debian 12's headers lack it. */
#define NEXT (-1)
/* TCX_DROP. */
#define DROP 2

/* Bits of a TCP header's 14th byte. */
#define FIN 1
#define SYN 2
#define RST 4
#define ACK 16
#define FLAGS_AT 13

/* More fragments, or not the first: then the ports are not all there. */
#define FRAGMENT 0x3fff

#ifdef IPV6
#define ETHERTYPE ETH_P_IPV6
#define SOURCE_AT (ETH_HLEN + offsetof(struct ipv6hdr, saddr))
#define DESTINATION_AT (ETH_HLEN + offsetof(struct ipv6hdr, daddr))
#else
#define ETHERTYPE ETH_P_IP
#define SOURCE_AT (ETH_HLEN + offsetof(struct iphdr, saddr))
#define DESTINATION_AT (ETH_HLEN + offsetof(struct iphdr, daddr))
#endif

struct end {
	struct address address;
	__u16 port;
	__u16 padding;
};

/* One direction of a connection. */
struct flow {
	struct end from;
	struct end to;
	__u8 protocol;
	__u8 padding[3];
};

/* Which end a direction's packets are rewritten to: a backend on the way there, the service on the way back. */
struct connection {
	struct end end;
	__u32 closed; /* Whether the client has ended it: the next SYN of its ports opens another. */
};

_Static_assert(sizeof(struct end) == sizeof(struct address) + 4, "no hole");
_Static_assert(sizeof(struct flow) == 2 * sizeof(struct end) + 4, "no hole");
_Static_assert(sizeof(struct connection) == sizeof(struct end) + 4, "no hole");

/* Both directions of every connection; those that were silent longest give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct flow);
	__type(value, struct connection);
} connections SEC(".maps");

/* The evidence that this path was taken; src/bpf/tc_lb.rs reads the numbers in this order. */
struct counts {
	__u64 forward;   /* Packets whose destination was rewritten. */
	__u64 back;      /* Packets whose source was rewritten. */
	__u64 opened;    /* Connections for which a backend was drawn. */
	__u64 entries;   /* Entries that were added to `connections`. */
	__u64 forgotten; /* Packets of open TCP connections without an entry. */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

/* What of a packet matters. */
struct packet {
	struct flow flow;
	__u32 transport; /* Where the transport header begins. */
	__u32 flags;     /* TCP's; 0 for UDP. */
};

static __always_inline struct counts *counted(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&counts, &only);
}

#define COUNT(what)                             \
	do {                                    \
		struct counts *all = counted(); \
		if (all)                        \
			all->what += 1;         \
	} while (0)

/* Reads the network header; returns where the transport header begins, 0 if there is none to translate. */
static __always_inline __u32 read_network(struct __sk_buff *skb, struct flow *flow)
{
#ifdef IPV6
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return 0;
	__builtin_memcpy(&flow->from.address, &ip.saddr, sizeof(struct address));
	__builtin_memcpy(&flow->to.address, &ip.daddr, sizeof(struct address));
	/* A fragment has another header next. */
	flow->protocol = ip.nexthdr;
	return ETH_HLEN + sizeof(ip);
#else
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return 0;
	if (ip.frag_off & bpf_htons(FRAGMENT))
		return 0;
	flow->from.address.word[0] = ip.saddr;
	flow->to.address.word[0] = ip.daddr;
	flow->protocol = ip.protocol;
	return ETH_HLEN + ip.ihl * 4;
#endif
}

/* Reads a packet; returns 0 if it has no ports to translate. */
static __always_inline int read_packet(struct __sk_buff *skb, struct packet *packet)
{
	__u16 ports[2];
	__u8 flags = 0;

	if (skb->protocol != bpf_htons(ETHERTYPE))
		return 0;
	packet->transport = read_network(skb, &packet->flow);
	if (!packet->transport ||
	    (packet->flow.protocol != TCP && packet->flow.protocol != UDP))
		return 0;
	if (bpf_skb_load_bytes(skb, packet->transport, ports, sizeof(ports)))
		return 0;
	if (packet->flow.protocol == TCP &&
	    bpf_skb_load_bytes(skb, packet->transport + FLAGS_AT, &flags, sizeof(flags)))
		return 0;
	packet->flow.from.port = ports[0];
	packet->flow.to.port = ports[1];
	packet->flags = flags;
	return 1;
}

/* Replaces one end of a packet, address and port, and mends its checksums. */
static __always_inline int rewrite(struct __sk_buff *skb, const struct packet *packet,
				   const struct end *old, const struct end *new, __u32 address_at,
				   __u32 port_at)
{
	int tcp = packet->flow.protocol == TCP;
	__u32 sum_at = packet->transport +
		       (tcp ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check));
	/* A UDP datagram may go without a checksum, and a sum of 0 would say that it does. */
	__u64 zero = tcp ? 0 : BPF_F_MARK_MANGLED_0;
	__s64 difference = bpf_csum_diff((__be32 *)&old->address, sizeof(struct address),
					 (__be32 *)&new->address, sizeof(struct address), 0);

	if (bpf_l4_csum_replace(skb, sum_at, 0, difference, zero | BPF_F_PSEUDO_HDR) ||
	    bpf_l4_csum_replace(skb, sum_at, old->port, new->port, zero | sizeof(new->port)))
		return DROP;
#ifndef IPV6
	if (bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), 0, difference, 0))
		return DROP;
#endif
	if (bpf_skb_store_bytes(skb, address_at, &new->address, sizeof(struct address), 0) ||
	    bpf_skb_store_bytes(skb, packet->transport + port_at, &new->port, sizeof(new->port), 0))
		return DROP;
	return NEXT;
}

static __always_inline void remember(const struct flow *flow, const struct connection *connection)
{
	if (!bpf_map_update_elem(&connections, flow, connection, BPF_NOEXIST))
		COUNT(entries);
	else
		bpf_map_update_elem(&connections, flow, connection, BPF_ANY);
}

/* Draws a backend and remembers both directions. Returns 0 if there is none. */
static __always_inline int open(struct service_key *key, const struct service *service,
				const struct flow *flow, struct end *to)
{
	struct client client = { .address = flow->from.address, .service = *key };
	struct connection connection = {};
	const struct backend *backend =
		choose(key, service, &client, bpf_get_prandom_u32());
	struct flow answers = { .to = flow->from, .protocol = flow->protocol };

	if (!backend)
		return 0;
	to->address = backend->address;
	to->port = backend->port;
	connection.end = *to;
	remember(flow, &connection);
	answers.from = *to;
	connection.end = flow->to;
	remember(&answers, &connection);
	COUNT(opened);
	return 1;
}

SEC("tcx/ingress")
int from_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow *flow = &packet.flow;
	struct service_key key = {};
	const struct service *service;
	struct connection *connection;
	struct end to = {};
	int opens;

	if (!read_packet(skb, &packet))
		return NEXT;
	key.address = flow->to.address;
	key.port = flow->to.port;
	key.protocol = flow->protocol;
	service = bpf_map_lookup_elem(&services, &key);
	if (!service || !service->count)
		return NEXT;

	opens = (packet.flags & (SYN | ACK)) == SYN;
	connection = bpf_map_lookup_elem(&connections, flow);
	if (connection && !(opens && connection->closed)) {
		to = connection->end;
		if (packet.flags & (FIN | RST))
			connection->closed = 1;
	} else {
		if (!connection && flow->protocol == TCP && !opens)
			COUNT(forgotten);
		if (!open(&key, service, flow, &to))
			return NEXT;
	}
	COUNT(forward);
	return rewrite(skb, &packet, &flow->to, &to, DESTINATION_AT,
		       offsetof(struct tcphdr, dest));
}

static __always_inline int answer(struct __sk_buff *skb)
{
	struct packet packet = {};
	const struct connection *connection;
	struct end from;

	if (!read_packet(skb, &packet))
		return NEXT;
	connection = bpf_map_lookup_elem(&connections, &packet.flow);
	if (!connection)
		return NEXT;
	from = connection->end;
	COUNT(back);
	return rewrite(skb, &packet, &packet.flow.from, &from, SOURCE_AT,
		       offsetof(struct tcphdr, source));
}

/* At the host's end of the pair, as packets leave it for the pod. */
SEC("tcx/egress")
int to_pod(struct __sk_buff *skb)
{
	return answer(skb);
}

/* At the pod's end, where packets are handed over without passing the host's. */
SEC("tcx/ingress")
int in_pod(struct __sk_buff *skb)
{
	return answer(skb);
}

char _license[] SEC("license") = "Dual MIT/GPL";
