/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Pods attached by eBPF, as Cilium does it with host routing, and a tunnel without forwarding table.
 *
 *   from_pod            at the node's end of a pod's veth or netkit pair: to a pod of this node, or on to the next node by its neighbour entry
 *   from_pod_to_tunnel  the same, but on to the next node through a tunnel device, with the key that the map gives
 *   from_wire           at the device that joins the nodes, or the tunnel's: straight into the pod
 *   to_tunnel           at the tunnel device, for packets that the node's own stack routed there: gives them their key
 *
 * A packet that the first three carry meets no routing, netfilter or bridge of the node. Each hop lowers its TTL, as a
 * router does. What the maps don't know goes on to the node's stack, and is counted.
 *
 * src/fast_path.rs writes the maps. Addresses are in network order, all else in host order.
 */
#include <stddef.h>

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>

#include "family.h"

/* On to the next program, and after the last one to the stack. */
#define NEXT (-1)
/* From linux/if_packet.h. */
#define PACKET_HOST 0
/* From sys/socket.h. */
#define AF_INET 2
#define AF_INET6 10

/* A pod of this node. */
struct pod {
	__u32 device;                  /* The node's end of its veth. */
	unsigned char mac[ETH_ALEN];
	unsigned char gateway[ETH_ALEN];
};

struct prefix {
	__u32 length;                  /* In bits. */
	struct address address;
};

/* The way to the pods of another node. */
struct route {
	__u32 device;
	__u32 tunnel;                  /* The tunnel's identifier, where there is one. */
	struct address via;            /* The next hop, or the tunnel's far end. */
};

struct counter {
	__u64 carried;
	__u64 passed;
};

_Static_assert(sizeof(struct pod) == 16, "no hole");
_Static_assert(sizeof(struct prefix) == sizeof(struct address) + 4, "no hole");
_Static_assert(sizeof(struct route) == sizeof(struct address) + 8, "no hole");

/* Places in the map of counters: src/fast_path.rs has the same order. */
enum program {
	FROM_POD,
	FROM_POD_TO_TUNNEL,
	FROM_WIRE,
	TO_TUNNEL,
	PROGRAMS,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct address);
	__type(value, struct pod);
} pods SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, struct route);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PROGRAMS);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

#ifdef IPV6
#define PROTOCOL ETH_P_IPV6
#define ADDRESS_BITS 128
typedef struct ipv6hdr header;
#else
#define PROTOCOL ETH_P_IP
#define ADDRESS_BITS 32
typedef struct iphdr header;
#endif

static __always_inline int read_header(struct __sk_buff *skb, header *ip)
{
	return skb->protocol == bpf_htons(PROTOCOL) &&
	       !bpf_skb_load_bytes(skb, ETH_HLEN, ip, sizeof(*ip));
}

static __always_inline void read_destination(const header *ip, struct address *address)
{
	__builtin_memcpy(address, &ip->daddr, sizeof(*address));
}

/* Returns false where the packet has come as far as it may: the stack tells its sender. */
static __always_inline int lower_ttl(struct __sk_buff *skb, const header *ip)
{
#ifdef IPV6
	__u8 ttl = ip->hop_limit - 1;

	return ip->hop_limit > 1 &&
	       !bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(header, hop_limit), &ttl, sizeof(ttl), 0);
#else
	__u8 ttl = ip->ttl - 1;

	/* The TTL is the upper half of a word of the checksum. */
	return ip->ttl > 1 &&
	       !bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(header, check),
				    bpf_htons((__u16)(ip->ttl << 8)), bpf_htons((__u16)(ttl << 8)), 2) &&
	       !bpf_skb_store_bytes(skb, ETH_HLEN + offsetof(header, ttl), &ttl, sizeof(ttl), 0);
#endif
}

static __always_inline int count(__u32 program, int carried, int action)
{
	struct counter *counter = bpf_map_lookup_elem(&counters, &program);

	if (!counter)
		return action;
	if (carried)
		counter->carried += 1;
	else
		counter->passed += 1;
	return action;
}

/*
 * Puts a packet into a pod of this node, past the backlog of its veth. At a netkit pair a packet is seen before it has
 * left its pod: it came in by no device, and can only be sent to the other pod's own pair.
 */
static __always_inline int deliver(struct __sk_buff *skb, const header *ip, const struct pod *pod,
				   __u32 program)
{
	struct {
		unsigned char destination[ETH_ALEN];
		unsigned char source[ETH_ALEN];
	} ethernet;

	if (!lower_ttl(skb, ip))
		return count(program, 0, NEXT);
	__builtin_memcpy(ethernet.destination, pod->mac, ETH_ALEN);
	__builtin_memcpy(ethernet.source, pod->gateway, ETH_ALEN);
	bpf_skb_store_bytes(skb, 0, &ethernet, sizeof(ethernet), 0);
	/* Out of a tunnel it has the hardware address that the other node's pod sent to. */
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return count(program, 1, skb->ingress_ifindex ? bpf_redirect_peer(pod->device, 0)
						      : bpf_redirect(pod->device, 0));
}

static __always_inline const struct route *find_route(const struct address *address)
{
	struct prefix key = { .length = ADDRESS_BITS, .address = *address };

	return bpf_map_lookup_elem(&routes, &key);
}

static __always_inline int set_key(struct __sk_buff *skb, const struct route *route)
{
	struct bpf_tunnel_key key = { .tunnel_id = route->tunnel };

#ifdef IPV6
	__builtin_memcpy(key.remote_ipv6, &route->via, sizeof(route->via));
	return !bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6);
#else
	key.remote_ipv4 = bpf_ntohl(route->via.word[0]);
	/* As Cilium does; over IPv6 the far end would not take it. */
	return !bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_ZERO_CSUM_TX);
#endif
}

static __always_inline int to_neighbour(const struct route *route)
{
	struct bpf_redir_neigh next = {};

#ifdef IPV6
	next.nh_family = AF_INET6;
	__builtin_memcpy(next.ipv6_nh, &route->via, sizeof(route->via));
#else
	next.nh_family = AF_INET;
	next.ipv4_nh = route->via.word[0];
#endif
	return (int)bpf_redirect_neigh(route->device, &next, sizeof(next), 0);
}

static __always_inline int leave_pod(struct __sk_buff *skb, __u32 program)
{
	struct address destination;
	const struct route *route;
	const struct pod *pod;
	header ip;

	if (!read_header(skb, &ip))
		return NEXT;
	read_destination(&ip, &destination);
	pod = bpf_map_lookup_elem(&pods, &destination);
	if (pod)
		return deliver(skb, &ip, pod, program);
	route = find_route(&destination);
	if (!route || !lower_ttl(skb, &ip))
		return count(program, 0, NEXT);
	if (program == FROM_POD)
		return count(program, 1, to_neighbour(route));
	if (!set_key(skb, route))
		return count(program, 0, NEXT);
	return count(program, 1, (int)bpf_redirect(route->device, 0));
}

SEC("tcx/ingress")
int from_pod(struct __sk_buff *skb)
{
	return leave_pod(skb, FROM_POD);
}

SEC("tcx/ingress")
int from_pod_to_tunnel(struct __sk_buff *skb)
{
	return leave_pod(skb, FROM_POD_TO_TUNNEL);
}

SEC("tcx/ingress")
int from_wire(struct __sk_buff *skb)
{
	struct address destination;
	const struct pod *pod;
	header ip;

	if (!read_header(skb, &ip))
		return NEXT;
	read_destination(&ip, &destination);
	pod = bpf_map_lookup_elem(&pods, &destination);
	return pod ? deliver(skb, &ip, pod, FROM_WIRE) : count(FROM_WIRE, 0, NEXT);
}

SEC("tcx/egress")
int to_tunnel(struct __sk_buff *skb)
{
	struct address destination;
	const struct route *route;
	header ip;

	if (!read_header(skb, &ip))
		return NEXT;
	read_destination(&ip, &destination);
	route = find_route(&destination);
	return count(TO_TUNNEL, route && set_key(skb, route), NEXT);
}

char _license[] SEC("license") = "Dual MIT/GPL";
