"""Every text of the page in every language: one table, one row a text.

The browser gets it as JSON and picks the language: the visitor's choice, else the browser's, else
English. ``{name}`` marks what is filled in. Refusals of the service have rows named after their
codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

__all__ = ["LANGUAGES", "LANGUAGE_NAMES", "TEXTS", "Language", "texts_in"]

Language = Literal["en", "zh", "vi"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
LANGUAGE_NAMES: Mapping[Language, str] = {"en": "English", "zh": "中文", "vi": "Tiếng Việt"}

TEXTS: Mapping[str, tuple[str, str, str]] = {
    # key: English, Chinese, Vietnamese
    "page_title": ("Blind comparison", "匿名对比", "So sánh ẩn danh"),
    "given_title": ("{title}", "{title}", "{title}"),
    "nothing": ("", "", ""),
    "loading": ("Getting ready…", "正在准备……", "Đang chuẩn bị…"),
    "menu": ("Menu", "菜单", "Trình đơn"),
    "close": ("Close", "关闭", "Đóng"),
    "cancel": ("Cancel", "取消", "Hủy"),
    "language": ("Language", "语言", "Ngôn ngữ"),
    "theme": ("Appearance", "外观", "Giao diện"),
    "theme_auto": ("As the system", "跟随系统", "Theo hệ thống"),
    "theme_light": ("Light", "浅色", "Sáng"),
    "theme_dark": ("Dark", "深色", "Tối"),
    # the battle
    "prompt": ("Prompt", "提示", "Câu hỏi"),
    "answer": ("Answer {letter}", "回答 {letter}", "Câu trả lời {letter}"),
    "answer_cut": (
        "The rest of this answer is too long to be shown.",
        "该回答过长,其余部分不予显示。",
        "Phần còn lại của câu trả lời quá dài nên không hiển thị.",
    ),
    "answer_empty": ("(no text)", "(无内容)", "(không có nội dung)"),
    "question": ("Which answer is better?", "哪个回答更好?", "Câu trả lời nào tốt hơn?"),
    "question_ranking": (
        "Rank the answers: 1 is best, equal ranks are ties.",
        "请为回答排名:1 为最佳,名次相同即为平局。",
        "Xếp hạng các câu trả lời: 1 là tốt nhất, cùng hạng nghĩa là hòa.",
    ),
    "question_ranking_strict": (
        "Rank the answers: 1 is best, each rank once.",
        "请为回答排名:1 为最佳,每个名次只用一次。",
        "Xếp hạng các câu trả lời: 1 là tốt nhất, mỗi hạng dùng một lần.",
    ),
    "question_rating": ("Rate each answer.", "请为每个回答评分。", "Hãy chấm từng câu trả lời."),
    "left": ("A is better", "A 更好", "A tốt hơn"),
    "right": ("B is better", "B 更好", "B tốt hơn"),
    "tie": ("Tie", "平局", "Hòa"),
    "both_bad": ("Both bad", "都不好", "Cả hai đều tệ"),
    "submit": ("Submit", "提交", "Gửi đánh giá"),
    "rank": ("Rank", "名次", "Hạng"),
    "no": ("No", "否", "Không"),
    "yes": ("Yes", "是", "Có"),
    "preparing": ("Preparing the answers…", "正在准备回答……", "Đang chuẩn bị câu trả lời…"),
    "place": (
        "You are number {place} in the queue.",
        "您排在第 {place} 位。",
        "Bạn đang ở vị trí thứ {place} trong hàng đợi.",
    ),
    "streaming": (
        "Both answers are being written.",
        "两个回答正在生成。",
        "Hai câu trả lời đang được viết.",
    ),
    "progress": ("{done} of {total}", "{done} / {total}", "{done} / {total}"),
    "progress_open": ("{done} votes", "已投 {done} 票", "{done} phiếu"),
    # what may go with a vote
    "more": ("Add a reason", "添加理由", "Thêm lý do"),
    "more_title": (
        "Reasons and comment (optional)",
        "理由与评论(可选)",
        "Lý do và nhận xét (không bắt buộc)",
    ),
    "comment": ("Comment", "评论", "Nhận xét"),
    "reason_correct": ("More correct", "更准确", "Chính xác hơn"),
    "reason_helpful": ("More helpful", "更有帮助", "Hữu ích hơn"),
    "reason_complete": ("More complete", "更完整", "Đầy đủ hơn"),
    "reason_clear": ("Clearer", "更清晰", "Rõ ràng hơn"),
    "reason_concise": ("More to the point", "更简洁", "Đúng trọng tâm hơn"),
    "reason_style": ("Better style", "文笔更好", "Văn phong tốt hơn"),
    "reason_safe": ("Safer", "更安全", "An toàn hơn"),
    "skip": ("Skip", "跳过", "Bỏ qua"),
    "skip_title": ("Why skip this one?", "为什么跳过?", "Vì sao bỏ qua?"),
    "skip_cannot_judge": (
        "I don't know the subject well enough",
        "我对该主题不够了解",
        "Tôi không đủ hiểu biết về chủ đề này",
    ),
    "skip_unclear": ("The prompt is unclear", "提示不清楚", "Câu hỏi không rõ ràng"),
    "skip_language": (
        "I don't read this language well",
        "我不太懂这种语言",
        "Tôi không đọc tốt ngôn ngữ này",
    ),
    "skip_unpleasant": (
        "I don't want to read this",
        "我不想阅读此内容",
        "Tôi không muốn đọc nội dung này",
    ),
    "skip_broken": ("Something is broken", "显示有问题", "Có gì đó bị lỗi"),
    # after the vote
    "recorded": ("Recorded: {choice}", "已记录:{choice}", "Đã ghi nhận: {choice}"),
    "recorded_ballot": ("Recorded", "已记录", "Đã ghi nhận"),
    "unverified": (
        "Your vote is kept. A check could not be done, so it counts once it is verified.",
        "您的投票已保存。由于某项检查未能完成,核实后才会计入。",
        "Phiếu của bạn đã được lưu. Một bước kiểm tra chưa thực hiện được, "
        "nên phiếu sẽ được tính sau khi xác minh.",
    ),
    "undo": ("Undo", "撤销", "Hoàn tác"),
    "undone": (
        "Taken back. Please vote again.",
        "已撤销,请重新投票。",
        "Đã rút lại. Mời bạn bỏ phiếu lại.",
    ),
    "reveal": ("Reveal", "揭晓", "Hé lộ"),
    "revealed": (
        "A was {left}, B was {right}",
        "A 是 {left},B 是 {right}",
        "A là {left}, B là {right}",
    ),
    "revealed_all": ("These were the models.", "模型名称已揭晓。", "Đây là tên các mô hình."),
    "next": ("Next", "下一个", "Tiếp theo"),
    "mistake": ("Report a mistake", "报告误投", "Báo bỏ phiếu nhầm"),
    "mistake_done": (
        "Noted: this vote is left out of the ratings.",
        "已记录:该投票不计入评分。",
        "Đã ghi nhận: phiếu này không được tính vào xếp hạng.",
    ),
    "mistake_late": (
        "Noted. The study has ended, so its result stays as it is.",
        "已记录。研究已结束,其结果不再改变。",
        "Đã ghi nhận. Nghiên cứu đã kết thúc nên kết quả giữ nguyên.",
    ),
    # live battles
    "composer_title": (
        "Ask two anonymous models anything",
        "向两个匿名模型提问",
        "Hỏi hai mô hình ẩn danh bất cứ điều gì",
    ),
    "composer_hint": (
        "Both answer side by side. You vote, then you learn who they were.",
        "两个模型并排作答。投票之后,您会知道它们是谁。",
        "Cả hai trả lời cạnh nhau. Bạn bỏ phiếu, rồi mới biết chúng là ai.",
    ),
    "your_prompt": ("Your prompt", "您的提示", "Câu hỏi của bạn"),
    "follow_up": ("Ask both a follow-up", "向两者追问", "Hỏi tiếp cả hai"),
    "send": ("Send", "发送", "Gửi"),
    # before the first battle
    "consent_title": ("Before you begin", "开始之前", "Trước khi bắt đầu"),
    "agree": ("I agree", "我同意", "Tôi đồng ý"),
    "instructions": ("Instructions", "说明", "Hướng dẫn"),
    "begin": ("Begin", "开始", "Bắt đầu"),
    "sign_in": ("Sign in", "登录", "Đăng nhập"),
    "sign_out": ("Sign out", "退出登录", "Đăng xuất"),
    "name": ("Name", "用户名", "Tên"),
    "password": ("Password", "密码", "Mật khẩu"),
    # the end
    "finished": ("All done", "全部完成", "Đã hoàn thành"),
    "finished_complete": (
        "You have seen everything there is. Thank you!",
        "您已完成全部内容。谢谢!",
        "Bạn đã xem hết tất cả. Xin cảm ơn!",
    ),
    "finished_quota": (
        "You have done your share. Thank you!",
        "您已完成您的部分。谢谢!",
        "Bạn đã hoàn thành phần của mình. Xin cảm ơn!",
    ),
    "finished_stopped": (
        "The study has ended: there are enough votes. Thank you!",
        "研究已结束:票数已足够。谢谢!",
        "Nghiên cứu đã kết thúc: đã đủ phiếu. Xin cảm ơn!",
    ),
    # keys
    "keys": ("Keyboard", "键盘", "Bàn phím"),
    "keys_choose": ("choose", "选择", "chọn"),
    "keys_go_on": ("reveal, then next", "揭晓,然后下一个", "hé lộ, rồi tiếp theo"),
    "keys_undo": ("undo", "撤销", "hoàn tác"),
    "keys_skip": ("skip", "跳过", "bỏ qua"),
    # privacy
    "privacy": ("Delete my data", "删除我的数据", "Xóa dữ liệu của tôi"),
    "privacy_text": (
        "Your address is never stored. Votes are kept under a random pseudonym.",
        "我们从不保存您的网络地址。投票以随机化名保存。",
        "Địa chỉ của bạn không bao giờ được lưu. Phiếu được giữ dưới một bí danh ngẫu nhiên.",
    ),
    "forget_keep": (
        "Forget who I am, keep my votes",
        "忘记我的身份,保留投票",
        "Quên tôi là ai, giữ lại phiếu",
    ),
    "forget_delete": (
        "Delete my votes as well",
        "同时删除我的投票",
        "Xóa luôn cả các phiếu của tôi",
    ),
    "forgotten": ("Deleted.", "已删除。", "Đã xóa."),
    # what went wrong
    "trying_again": (
        "No connection to the server. Nothing is lost; trying again…",
        "无法连接服务器。内容不会丢失,正在重试……",
        "Mất kết nối với máy chủ. Không mất gì cả; đang thử lại…",
    ),
    "no_answer": (
        "The answers could not be made. Please go on with another one.",
        "未能生成回答。请继续下一个。",
        "Không tạo được câu trả lời. Mời bạn sang câu khác.",
    ),
    "broken": (
        "Something went wrong on our side. Please try again.",
        "服务器出现问题,请重试。",
        "Phía chúng tôi có lỗi. Vui lòng thử lại.",
    ),
    "unknown_route": ("There is nothing here.", "此处没有内容。", "Ở đây không có gì."),
    "bad_request": (
        "The page and the server don't understand each other. Please reload.",
        "页面与服务器通信有误,请刷新页面。",
        "Trang và máy chủ không hiểu nhau. Hãy tải lại trang.",
    ),
    "not_signed_in": ("Please sign in first.", "请先登录。", "Hãy đăng nhập trước."),
    "login_failed": (
        "Name or password is wrong.",
        "用户名或密码错误。",
        "Tên hoặc mật khẩu không đúng.",
    ),
    "link_needed": (
        "Please open the link that you were sent.",
        "请打开发给您的链接。",
        "Hãy mở đường liên kết đã gửi cho bạn.",
    ),
    "consent_needed": (
        "Please agree to the terms first.",
        "请先同意条款。",
        "Hãy đồng ý với điều khoản trước.",
    ),
    "wrong_origin": (
        "This request came from another site and was refused.",
        "此请求来自其他网站,已被拒绝。",
        "Yêu cầu đến từ trang khác nên bị từ chối.",
    ),
    "unknown_battle": (
        "This comparison is no longer yours; here is another one.",
        "该对比已不可用,请继续下一个。",
        "Lượt so sánh này không còn dành cho bạn; đây là lượt khác.",
    ),
    "not_ready": (
        "The answers are not complete yet.",
        "回答尚未完成。",
        "Các câu trả lời chưa hoàn tất.",
    ),
    "already_voted": (
        "There is a vote already; undo it first.",
        "已有投票,请先撤销。",
        "Đã có phiếu rồi; hãy hoàn tác trước.",
    ),
    "sealed": (
        "The names are known, so the vote stays as it is.",
        "名称已揭晓,投票不能再改。",
        "Tên đã được hé lộ nên phiếu giữ nguyên.",
    ),
    "not_sealed": (
        "The vote can still be changed: undo it.",
        "投票仍可更改,请撤销。",
        "Phiếu vẫn có thể thay đổi: hãy hoàn tác.",
    ),
    "expired": (
        "This one was open for too long; here is another one.",
        "该对比开放时间过长,请继续下一个。",
        "Lượt này mở quá lâu; đây là lượt khác.",
    ),
    "void": (
        "This one was taken out; here is another one.",
        "该对比已被移除,请继续下一个。",
        "Lượt này đã bị gỡ; đây là lượt khác.",
    ),
    "too_large": ("This text is too long.", "文本过长。", "Văn bản này quá dài."),
    "too_many": (
        "That was quick. Please wait a moment.",
        "操作过快,请稍候。",
        "Bạn thao tác nhanh quá. Vui lòng đợi một chút.",
    ),
    "prompt_needed": ("Please type a prompt.", "请输入提示。", "Hãy nhập câu hỏi."),
    "prompt_refused": (
        "This prompt can't be used here. Please try another one.",
        "此提示不能在此使用,请换一个。",
        "Không thể dùng câu hỏi này ở đây. Hãy thử câu khác.",
    ),
    "queue_full": (
        "Many people are here right now. Please try again in a minute.",
        "目前访客较多,请一分钟后再试。",
        "Hiện có nhiều người dùng. Hãy thử lại sau một phút.",
    ),
    "store_unavailable": (
        "Your vote can't be stored right now; trying again…",
        "暂时无法保存您的投票,正在重试……",
        "Hiện chưa lưu được phiếu của bạn; đang thử lại…",
    ),
}


def texts_in(language: Language) -> dict[str, str]:
    """Return all texts in one language."""
    column = LANGUAGES.index(language)
    return {key: row[column] for key, row in TEXTS.items()}
